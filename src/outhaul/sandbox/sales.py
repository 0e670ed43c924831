"""What was bought in the sandbox's shop: orders with their lines, and how they were paid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from outhaul.sandbox import parcels
from outhaul.sandbox.book import Book, money, shown
from outhaul.sandbox.goods import Goods, Sku
from outhaul.sandbox.people import Customer
from outhaul.sandbox.places import address

STATUSES = ("approved",) * 6 + ("placed",) * 2 + ("cancelled", "pending")
LINES = (1, 7)  # of an order, from and to: 4 in the middle
PAID = {"approved": "paid", "placed": "authorized", "cancelled": "voided", "pending": "unpaid"}


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in one line of an order."""

    sku: Sku
    quantity: int
    cents: int  # for one

    @property
    def total(self) -> int:
        return self.quantity * self.cents


def fill(book: Book, goods: Goods, customers: tuple[Customer, ...], many: int) -> None:
    """Write so many orders and what followed from them."""
    for number in range(1, many + 1):
        _order(book, goods, book.chance.choice(customers), number)


def _order(book: Book, goods: Goods, buyer: Customer, number: int) -> None:
    market, status = buyer.market, book.chance.choice(STATUSES)
    lines = [_drawn(book, goods, market.id) for _ in range(book.chance.randint(*LINES))]
    method, cost = book.chance.choice(market.shipping_methods)
    subtotal = sum(line.total for line in lines)
    at = book.moment(buyer.since, timedelta(days=120))
    placed = at + timedelta(minutes=book.chance.randint(1, 90))
    sent_to = buyer.address if book.often(80) else address(book, buyer.country, email=buyer.email)
    total = {"currency_code": market.currency, "amount_cents": subtotal + cost}
    order = book.add(
        "orders",
        at,
        number=str(number),
        status=status,
        payment_status=PAID[status],
        fulfillment_status="fulfilled" if status == "approved" else "unfulfilled",
        guest=int(book.often(10)),
        editable=int(status == "pending"),
        customer_email=buyer.email,
        language_code=market.language,
        currency_code=market.currency,
        country_code=buyer.country,
        skus_count=sum(line.quantity for line in lines),
        subtotal_amount_cents=subtotal,
        shipping_amount_cents=cost,
        total_amount_cents=subtotal + cost,
        coupon_code=book.chance.choice(goods.coupons[market.id]) if book.often(8) else None,
        **_times(status, placed),
        market_id=market.id,
        customer_id=buyer.id,
        shipping_address_id=sent_to,
        billing_address_id=buyer.address,
        payment_method_id=book.chance.choice(market.payment_methods),
        reference=f"ERP-{number:06}" if status == "approved" else None,
        reference_origin="erp" if status == "approved" else None,
        metadata={"channel": book.chance.choice(("web", "app", "shop"))} if book.often(60) else {},
    )
    written = [(line, _line(book, goods, order, market.id, market.currency, line, at)) for line in lines]
    _payments(book, order, status, total, placed)
    if status == "approved":
        bought = [(line.sku, line.quantity, item) for line, item in written]
        parcels.fill(book, parcels.Sale(order, buyer, sent_to, method, cost, bought), placed)
    if book.often(3):
        _subscription(book, order, buyer, lines, placed)


def _times(status: str, placed: datetime) -> dict[str, str]:
    later = shown(placed + timedelta(hours=2))
    known = {"placed_at": shown(placed), "approved_at": later, "cancelled_at": later}
    has = {"pending": (), "placed": ("placed_at",), "approved": ("placed_at", "approved_at")}
    return {name: known[name] for name in has.get(status, ("placed_at", "cancelled_at"))}


def _drawn(book: Book, goods: Goods, market: str) -> Line:
    sku = book.chance.choice(goods.skus)
    return Line(sku, book.chance.randint(1, 4), sku.prices[market])


def _line(book: Book, goods: Goods, order: str, market: str, currency: str, line: Line, at: datetime) -> str:
    item = book.add(
        "line_items",
        at,
        sku_code=line.sku.code,
        name=line.sku.name,
        item_type="skus",
        currency_code=currency,
        quantity=line.quantity,
        unit_amount_cents=line.cents,
        total_amount_cents=line.total,
        total_amount_float=line.total / 100,
        formatted_total_amount=money(line.total, currency),
        tax_rate=0.22 if currency == "EUR" else 0.0,
        order_id=order,
        sku_id=line.sku.id,
    )
    if book.often(5):
        book.add(
            "line_item_options",
            at,
            name="Gift wrapping",
            currency_code=currency,
            quantity=1,
            unit_amount_cents=0,
            total_amount_cents=0,
            options='{"message": "Buon compleanno! 🎂"}',
            line_item_id=item,
            sku_option_id=goods.options[market],
        )
    return item


def _payments(book: Book, order: str, status: str, total: dict[str, Any], placed: datetime) -> None:
    """An authorization, and its capture and refund, or its void; each is a transaction, too."""
    if status == "pending":
        return

    def paid(table: str, after: int, **more: Any) -> str:
        at = placed + timedelta(minutes=after)
        values = {**total, "order_id": order, "number": book.id(), "succeeded": 1, "message": "Succeeded"}
        made = book.add(table, at, **values, **more)
        book.add("transactions", at, id=made, type=table, **values)
        return made

    captured = {"captured_at": shown(placed + timedelta(minutes=120))} if status == "approved" else {}
    authorization = paid("authorizations", 1, **captured)
    if status == "cancelled":
        paid("voids", 120, reference_authorization_id=authorization)
    elif status == "approved":
        capture = paid("captures", 120, reference_authorization_id=authorization)
        if book.often(4):
            paid("refunds", 20_000, reference_capture_id=capture)


def _subscription(book: Book, order: str, buyer: Customer, lines: list[Line], placed: datetime) -> None:
    made = book.add(
        "order_subscriptions",
        placed,
        number=book.chance.randrange(1_000_000),
        status="active",
        frequency="monthly",
        customer_email=buyer.email,
        starts_at=shown(placed),
        next_run_at=shown(placed + timedelta(days=30)),
        market_id=buyer.market.id,
        customer_id=buyer.id,
        customer_payment_source_id=buyer.wallet,
        source_order_id=order,
    )
    for line in lines:
        book.add(
            "order_subscription_items",
            placed,
            sku_code=line.sku.code,
            quantity=line.quantity,
            unit_amount_cents=line.cents,
            order_subscription_id=made,
            sku_id=line.sku.id,
        )
