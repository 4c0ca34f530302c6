"""Which accounts move together: a dump of posts → campaigns, each with an error rate.

It finds coordination, by whomever and for whatever end; it does not know who wrote the posts, and
it never names a sponsor.
"""

from textdetect.campaigns.results import Campaign, Campaigns, Settings
from textdetect.campaigns.search import find_campaigns

__all__ = ["Campaign", "Campaigns", "Settings", "find_campaigns"]
