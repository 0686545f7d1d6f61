"""How an evaluation is written: tables, pictures, pages, and what is kept between runs."""
