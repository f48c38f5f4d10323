"""Whether a pruned vision transformer draws the saliency map that it draws with every patch; nothing is trained."""
