"""Plans of spend: what response models are asked about and budgets move; knows neither."""
