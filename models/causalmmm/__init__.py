"""Causal graphs between marketing channels, learned for many shops at once. Gong et al., WSDM 2024 (CausalMMM)."""
