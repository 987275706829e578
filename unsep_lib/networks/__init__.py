"""Networks that priors are made of; none knows a noise schedule."""
