"""Deals: sales in progress, what they offer at which price, what is expected of them, and what was ordered."""
