"""What a search found → a folder that an expert of the other side can check and run again."""

from textdetect.campaigns.evidence.bundle import check_ready, dump_facts, forget, write_bundle
from textdetect.campaigns.evidence.keys import name_accounts
from textdetect.campaigns.evidence.verify import verify

__all__ = ["check_ready", "dump_facts", "forget", "name_accounts", "verify", "write_bundle"]
