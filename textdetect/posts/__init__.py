"""Labelled posts: reading them, splitting them without leaks, mixing them for training."""

from textdetect.posts.corpus import COLUMNS, Posts, load_posts

__all__ = ["COLUMNS", "Posts", "load_posts"]
