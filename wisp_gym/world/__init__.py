"""The world, drawn before control: every exogenous draw is a function of seed, cause, entity and index."""
