"""The search for settings: the space, the strategies, the study. What a trial runs is given by the caller."""
