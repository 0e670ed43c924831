"""Where the sandbox's shop sells: an organization with two markets, and all that a market stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outhaul.sandbox.book import Book

CITIES = {
    "IT": (("Milano", "20121", "MI"), ("Forlì", "47121", "FC"), ("Prato", "59100", "PO")),
    "FR": (("Paris", "75001", None), ("Besançon", "25000", None)),
    "DE": (("München", "80331", "BY"), ("Köln", "50667", "NW")),
    "US": (("Portland", "97201", "OR"), ("San José", "95112", "CA"), ("O'Fallon", "62269", "IL")),
}
STREETS = ("Via Polveriera", "Rue de l'Église", "Königstraße", "Main Street", "Elm Street, rear building")
FIRST = ("Ada", "Grace", "Alan", "Zoë", "José", "Renée", "Björn", "Siobhán", "Mei", "Amélie", "Noah", "Olga")
LAST = (
    "Lovelace",
    "Hopper",
    "Turing",
    "O'Neill",
    "Núñez",
    "Müller",
    "Rossi",
    "Dupont",
    "Smith-Jones",
    "Østergård",
)


@dataclass(frozen=True, slots=True)
class Market:
    """A market, by the ids that other rows point to."""

    id: str
    currency: str
    language: str
    countries: tuple[str, ...]
    price_list: str
    stock_location: str
    warehouse: str  # the address of the stock location
    tax_calculator: str
    shipping_category: str
    shipping_methods: tuple[tuple[str, int], ...]  # with what they cost, in cents
    payment_methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """The two markets, and the shipping category that all goods are of."""

    markets: tuple[Market, Market]
    shipping_category: str


def fill(book: Book, name: str) -> Places:
    """Write the organization, by its name, and its two markets."""
    book.add(
        "organizations",
        id=book.organization,
        slug=book.organization,
        name=name,
        support_email=f"support@{book.organization}.example",
    )
    category = book.add("shipping_categories", name="Merchandise", code="MERCH")
    merchant = book.add("merchants", name=name, address_id=address(book, "IT", company=name))
    europe = _market(book, 1, "Europe", "EUR", "it", ("IT", "FR", "DE"), merchant, category)
    usa = _market(book, 2, "USA", "USD", "en", ("US",), merchant, category)
    for word in ("summer", "b2b", "à la carte"):
        book.add("tags", name=word)
    return Places((europe, usa), category)


def address(book: Book, country: str, *, company: str | None = None, email: str | None = None) -> str:
    """A new address in a country; its id."""
    city, zip_code, state = book.chance.choice(CITIES[country])
    return book.add(
        "addresses",
        business=int(company is not None),
        company=company,
        first_name=None if company else book.chance.choice(FIRST),
        last_name=None if company else book.chance.choice(LAST),
        line_1=f"{book.chance.choice(STREETS)} {book.chance.randint(1, 250)}",
        line_2=f"Apt. {book.chance.randint(1, 40)}" if book.often(20) else None,
        city=city,
        zip_code=zip_code,
        state_code=state,
        country_code=country,
        phone=f"+{book.chance.randint(10**10, 10**11 - 1)}",
        email=email,
    )


def _market(
    book: Book,
    number: int,
    name: str,
    currency: str,
    language: str,
    countries: tuple[str, ...],
    merchant: str,
    category: str,
) -> Market:
    code = name.lower()
    prices = book.add(
        "price_lists", name=f"{name} prices", code=code, currency_code=currency, tax_included=int(number == 1)
    )
    warehouse = address(book, countries[0], company=f"{name} warehouse")
    stock = book.add(
        "stock_locations", number=number, name=f"{name} warehouse", code=code, address_id=warehouse
    )
    taxes = book.add("tax_calculators", name=f"{name} taxes")
    market = book.add(
        "markets",
        number=number,
        name=name,
        code=code,
        currency_code=currency,
        merchant_id=merchant,
        price_list_id=prices,
        inventory_model_id=_inventory(book, name, stock),
        tax_calculator_id=taxes,
    )
    book.add("stores", name=f"{name} store", code=code, market_id=market, stock_location_id=stock)
    zone = book.add("shipping_zones", name=name, country_code_regex="|".join(countries))
    sent = {
        "market_id": market,
        "shipping_zone_id": zone,
        "stock_location_id": stock,
        "currency_code": currency,
    }
    methods = _shipping(book, name, sent | {"shipping_category_id": category})
    payments = _payments(book, market, currency)
    points = (prices, stock, warehouse, taxes, category)
    return Market(market, currency, language, countries, *points, methods, payments)


def _inventory(book: Book, name: str, stock: str) -> str:
    model = book.add(
        "inventory_models", name=f"{name} inventory", strategy="no_split", stock_locations_cutoff=2
    )
    book.add("inventory_stock_locations", priority=1, inventory_model_id=model, stock_location_id=stock)
    return model


def _shipping(book: Book, name: str, sent: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    standard = book.add(
        "shipping_methods",
        name=f"Standard to {name}",
        price_amount_cents=700,
        free_over_amount_cents=9900,
        **sent,
    )
    express = book.add("shipping_methods", name=f"Express to {name}", price_amount_cents=1200, **sent)
    return (standard, 700), (express, 1200)


def _payments(book: Book, market: str, currency: str) -> tuple[str, ...]:
    return tuple(
        book.add(
            "payment_methods",
            name=source.replace("_", " ").capitalize(),
            payment_source_type=source,
            currency_code=currency,
            price_amount_cents=0,
            market_id=market,
        )
        for source in ("stripe_payments", "wire_transfers")
    )
