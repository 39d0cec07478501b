"""What all services that are asked over HTTP have in common: what an answer means, pace, and trying again."""
