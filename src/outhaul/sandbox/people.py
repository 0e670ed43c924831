"""Who buys in the sandbox's shop: customers with addresses, wallets and wishes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outhaul.sandbox.book import Book, shown
from outhaul.sandbox.goods import Goods
from outhaul.sandbox.places import FIRST, LAST, Market, Places, address


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, who buys in one market."""

    id: str
    email: str
    market: Market
    country: str
    address: str
    wallet: str  # the id of a payment source
    since: datetime


def fill(book: Book, places: Places, goods: Goods, many: int) -> tuple[Customer, ...]:
    """Write so many customers."""
    groups = [book.add("customer_groups", name=name, code=name.lower()) for name in ("Retail", "Wholesale")]
    return tuple(_customer(book, places, goods, groups, number) for number in range(many))


def _customer(book: Book, places: Places, goods: Goods, groups: list[str], number: int) -> Customer:
    market = places.markets[number % 3 == 2]
    first, last = book.chance.choice(FIRST), book.chance.choice(LAST)
    email = f"{first}.{last}.{number}@example.com".lower().replace("'", "")
    country, since = book.chance.choice(market.countries), book.moment()
    customer = book.add(
        "customers",
        since,
        email=email,
        status="repeat" if book.often(40) else "acquired",
        has_password=int(book.often(60)),
        customer_group_id=book.chance.choice(groups) if book.often(70) else None,
        metadata={"newsletter": book.often(50), "vip": {"since": since.year}} if book.often(30) else {},
    )
    lives_at = address(book, country, email=email)
    book.add("customer_addresses", name=f"{first} {last}", customer_id=customer, address_id=lives_at)
    wallet = book.add(
        "customer_payment_sources",
        name="Card ending in 4242",
        payment_method_code="CREDIT_CARD",
        customer_id=customer,
        payment_method_id=market.payment_methods[0],
    )
    if book.often(25):
        book.add("customer_subscriptions", customer_email=email, customer_id=customer)
    if book.often(15):
        _wish(book, goods, market, customer, email)
    return Customer(customer, email, market, country, lives_at, wallet, since)


def _wish(book: Book, goods: Goods, market: Market, customer: str, email: str) -> None:
    sku = book.chance.choice(goods.skus)
    at = book.moment()
    book.add(
        "in_stock_subscriptions",
        at,
        status="active",
        customer_email=email,
        sku_code=sku.code,
        stock_threshold=1,
        customer_id=customer,
        sku_id=sku.id,
        market_id=market.id,
        reference=f"wish of {shown(at)[:10]}",
    )
