"""From a picture of any form to line crops and the network's input."""
