"""Compiled rules: what WISP, SLED, centralized serving and the plain schedulers decide, one rule a file."""
