"""Whether scores of tokens find what pretrained networks attend to, layer by layer, before anything is trained."""
