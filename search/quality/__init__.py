"""How good a candidate is likely to be: the recall score of its layout and its estimated relative loss."""
