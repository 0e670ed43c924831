"""What the sandbox's shop has sent, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from outhaul.sandbox.book import Book, shown
from outhaul.sandbox.goods import Sku
from outhaul.sandbox.people import Customer


@dataclass(frozen=True, slots=True)
class Sale:
    """An order that is to be sent. `bought`: sku, quantity and id of each line."""

    order: str
    buyer: Customer
    sent_to: str
    method: str
    cost: int
    bought: list[tuple[Sku, int, str]]


def fill(book: Book, sale: Sale, placed: datetime) -> None:
    """Write the shipment of an order, and sometimes a return."""
    at = placed + timedelta(hours=3)
    sent_at = book.moment(at, timedelta(days=4))
    market = sale.buyer.market
    shipment = book.add(
        "shipments",
        at,
        number=f"{book.chance.randrange(10**8):08}/S/001",
        status="shipped" if book.often(85) else "ready_to_ship",
        currency_code=market.currency,
        cost_amount_cents=sale.cost,
        skus_count=sum(quantity for _, quantity, _ in sale.bought),
        on_hold_at=shown(at) if book.often(5) else None,
        shipped_at=shown(sent_at),
        order_id=sale.order,
        shipping_category_id=market.shipping_category,
        shipping_method_id=sale.method,
        stock_location_id=market.stock_location,
        origin_address_id=market.warehouse,
        shipping_address_id=sale.sent_to,
    )
    for sku, quantity, item in sale.bought:
        book.add(
            "stock_line_items",
            at,
            sku_code=sku.code,
            quantity=quantity,
            shipment_id=shipment,
            line_item_id=item,
            sku_id=sku.id,
        )
    book.add(
        "parcels",
        sent_at,
        number=f"{book.chance.randrange(10**8):08}/P/001",
        weight=round(book.chance.uniform(0.2, 9), 3),
        unit_of_weight="kg",
        tracking_number=f"1Z{book.chance.randrange(10**12):012}",
        tracking_status="delivered",
        shipment_id=shipment,
    )
    if book.often(8):
        _return(book, sale, sent_at)


def _return(book: Book, sale: Sale, sent_at: datetime) -> None:
    at = book.moment(sent_at, timedelta(days=14))
    sku, quantity, item = book.chance.choice(sale.bought)
    approved = book.often(70)
    made = book.add(
        "returns",
        at,
        number=f"{book.chance.randrange(10**8):08}/R/001",
        status="approved" if approved else "requested",
        customer_email=sale.buyer.email,
        skus_count=quantity,
        approved_at=shown(at + timedelta(days=1)) if approved else None,
        order_id=sale.order,
        customer_id=sale.buyer.id,
        stock_location_id=sale.buyer.market.stock_location,
        origin_address_id=sale.sent_to,
    )
    book.add(
        "return_line_items",
        at,
        sku_code=sku.code,
        name=sku.name,
        quantity=quantity,
        return_reason='{"reason": "too small"}',
        return_id=made,
        line_item_id=item,
    )
