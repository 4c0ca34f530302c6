"""What a search found → a folder that an expert of the other side can check and run again."""

from textdetect.evidence.bundle import check_ready, dump_facts, forget, write_bundle
from textdetect.evidence.keys import name_accounts
from textdetect.evidence.verify import verify

__all__ = ["check_ready", "dump_facts", "forget", "name_accounts", "verify", "write_bundle"]
