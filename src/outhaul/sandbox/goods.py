"""What the sandbox's shop sells: skus with prices and stock, lists and bundles of them, and what makes them cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from outhaul.sandbox.book import Book, money, shown
from outhaul.sandbox.places import Market, Places

KINDS = (
    ("TSHIRT", "T-shirt", 2900),
    ("HOODIE", "Hoodie", 5900),
    ("MUG", 'Mug, 12"', 1200),
    ("CAP", "Cap", 1900),
)
COLOURS = (("BLACK", "Black"), ("WHITE", "White"), ("ECRU", "Écru"), ("BLUE", "Blue"), ("JADE", "Jade"))
SIZES = ("S", "M", "L", "XL")
COUPONS = 20


@dataclass(frozen=True, slots=True)
class Sku:
    """A sku, and what it costs in each market, in cents."""

    id: str
    code: str
    name: str
    prices: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Goods:
    """What can be ordered. `options`: the id of the gift wrapping of each market."""

    skus: tuple[Sku, ...]
    options: Mapping[str, str]
    coupons: Mapping[str, tuple[str, ...]]


def fill(book: Book, places: Places, many: int) -> Goods:
    """Write so many skus and what belongs to them."""
    skus = tuple(_sku(book, places, number) for number in range(many))
    _lists(book, places, skus)
    _transfers(book, places, skus)
    options = {market.id: _option(book, market) for market in places.markets}
    coupons = {market.id: _promotion(book, market) for market in places.markets}
    return Goods(skus, options, coupons)


def _sku(book: Book, places: Places, number: int) -> Sku:
    code, noun, cents = KINDS[number % len(KINDS)]
    colour, adjective = COLOURS[number // len(KINDS) % len(COLOURS)]
    size = SIZES[number // len(KINDS) // len(COLOURS) % len(SIZES)]
    made = Sku("", f"{code}{colour}{number:06}{size}", f"{adjective} {noun} ({size})", {})
    sku = book.add(
        "skus",
        code=made.code,
        name=made.name,
        description=f"{made.name}\nmade of 100% cotton, “fair”" if book.often(80) else None,
        image_url=f"https://img.example/{made.code}.png",
        pieces_per_pack=6 if book.often(10) else None,
        weight=round(book.chance.uniform(80, 900), 1),
        unit_of_weight="gr",
        hs_tariff_number="4901",
        do_not_ship=0,
        do_not_track=int(book.often(5)),
        shipping_category_id=places.shipping_category,
        reference=f"PIM-{number + 1}" if book.often(50) else None,
        reference_origin="pim",
        metadata={"season": book.chance.choice(("SS25", "FW25")), "tags": ["new"] if book.often(10) else []},
    )
    costs = {market.id: cents + 100 * book.chance.randrange(10) for market in places.markets}
    for market in places.markets:
        _price(book, market, sku, made.code, costs[market.id])
        quantity = book.chance.randrange(500)
        book.add(
            "stock_items",
            sku_code=made.code,
            quantity=quantity,
            sku_id=sku,
            stock_location_id=market.stock_location,
        )
        if not number % 10:
            book.add(
                "tax_categories",
                code="TAX-REDUCED",
                sku_code=made.code,
                sku_id=sku,
                tax_calculator_id=market.tax_calculator,
            )
    return Sku(sku, made.code, made.name, costs)


def _price(book: Book, market: Market, sku: str, code: str, cents: int) -> None:
    price = book.add(
        "prices",
        currency_code=market.currency,
        sku_code=code,
        amount_cents=cents,
        amount_float=cents / 100,
        formatted_amount=money(cents, market.currency),
        compare_at_amount_cents=cents + 500 if book.often(50) else None,
        price_list_id=market.price_list,
        sku_id=sku,
    )
    if book.often(40):
        for up_to, percent in ((10.0, 95), (None, 90)):
            book.add(
                "price_tiers",
                name=f"Up to {up_to:g}" if up_to else "Above",
                type="price_volume_tiers",
                up_to=up_to,
                price_amount_cents=cents * percent // 100,
                price_id=price,
            )


def _lists(book: Book, places: Places, skus: tuple[Sku, ...]) -> None:
    for number, name in enumerate(("New arrivals", "Last chance", "Gift ideas")):
        listed = book.add("sku_lists", name=name, slug=name.lower().replace(" ", "-"), manual=1)
        for position, sku in enumerate(skus[number::7][:25], 1):
            book.add(
                "sku_list_items",
                position=position,
                sku_code=sku.code,
                quantity=1,
                sku_list_id=listed,
                sku_id=sku.id,
            )
        for market in places.markets:
            book.add(
                "bundles",
                code=f"BUNDLE{number + 1}{market.currency}",
                name=f"{name}, all of it",
                currency_code=market.currency,
                price_amount_cents=19900,
                market_id=market.id,
                sku_list_id=listed,
            )


def _transfers(book: Book, places: Places, skus: tuple[Sku, ...]) -> None:
    here, there = places.markets
    for number, sku in enumerate(skus[::20], 1):
        at = book.moment()
        done = book.often(70)
        book.add(
            "stock_transfers",
            at,
            number=number,
            status="completed" if done else "in_transit",
            sku_code=sku.code,
            quantity=book.chance.randint(1, 20),
            completed_at=shown(book.moment(at, timedelta(days=9))) if done else None,
            sku_id=sku.id,
            origin_stock_location_id=here.stock_location,
            destination_stock_location_id=there.stock_location,
        )


def _option(book: Book, market: Market) -> str:
    return book.add(
        "sku_options",
        name="Gift wrapping",
        currency_code=market.currency,
        price_amount_cents=300,
        delay_hours=24,
        sku_code_regex="^(?!MUG).*$",
        market_id=market.id,
    )


def _promotion(book: Book, market: Market) -> tuple[str, ...]:
    """A discount with its coupons; their codes. Gift cards come along."""
    at = book.moment()
    promotion = book.add(
        "promotions",
        at,
        name="Ten off",
        type="percentage_discount_promotions",
        currency_code=market.currency,
        percentage=10,
        starts_at=shown(at),
        expires_at=shown(at + timedelta(days=400)),
        market_id=market.id,
    )
    rule = book.add("promotion_rules", type="coupon_codes_promotion_rules", promotion_id=promotion)
    codes = tuple(f"TEN{market.currency}{number:03}" for number in range(COUPONS))
    for code in codes:
        book.add(
            "coupons",
            code=code,
            customer_single_use=int(book.often(30)),
            usage_limit=10,
            usage_count=book.chance.randrange(10),
            expires_at=shown(at + timedelta(days=400)),
            promotion_rule_id=rule,
        )
        balance = book.chance.randrange(5_001)
        book.add(
            "gift_cards",
            status=book.chance.choice(("active", "inactive", "redeemed")),
            code=book.id(),
            currency_code=market.currency,
            initial_balance_cents=5_000,
            balance_cents=balance,
            recipient_email=f"{book.chance.randrange(1000)}@example.com" if book.often(50) else None,
            market_id=market.id,
        )
    return codes
