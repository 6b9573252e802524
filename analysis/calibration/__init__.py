"""Does the statistics layer keep its promises? Data from planted truth, and how often each method is right on them."""
