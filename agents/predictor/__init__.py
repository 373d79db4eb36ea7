"""WISP's stop predictor: how it is trained, and what it is measured by.

`python -m agents.predictor` trains the network of every draft/target pair and writes it beside the profiles
(wisp_gym/profiles/data/predictors); wisp_gym reads it from there and needs no torch.
"""
