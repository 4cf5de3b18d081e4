"""Whether Kafka takes events; how its return is noticed, and how the spool is emptied."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from producer.delivery import Position, deliver
from producer.errors import BrokerUnreachable, EventRefused, ProducerError, SpoolError
from producer.link import KafkaLink
from producer.spool import SpoolThread

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
# Between tries while Kafka is away: a short absence is noticed at once, a long one costs one
# connection attempt every two seconds and process.
FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 2.0
# Rows per resend: enough for full batches, little enough to leave live events their turn.
REPLAY_ROWS: Final = 500


class Recovery:
    """The one judge of Kafka's presence, with a task that works for its return.

    Spooled events are sent beside live ones, not before them: every event stands for itself, so
    their order does not matter, and a long spool must not delay what happens now.
    """

    def __init__(self, link: KafkaLink, topic: str, spool: SpoolThread | None) -> None:
        self._link = link
        self._topic = topic
        self._spool = spool
        self._work = asyncio.Event()
        self._online = asyncio.Event()
        self._online.set()
        self._reason = ""
        self._last_kind: type[Exception] | None = None  # of the fault that was logged last
        self.replayed = 0
        self.refused = 0

    @property
    def online(self) -> bool:
        """False from the first failed delivery until one succeeds again."""
        return self._online.is_set()

    @property
    def reason(self) -> str:
        """Why Kafka was last found away."""
        return self._reason

    async def wait_online(self, timeout_s: float) -> None:
        """Return when Kafka takes events, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._online.wait()

    def went_away(self, error: Exception) -> None:
        """Note a failed delivery, and start to look for Kafka's return."""
        if self.online or type(error) is not self._last_kind:
            kept = "the spool" if self._spool else "memory (there is no spool)"
            log.warning("%s; until it is back, events are kept in %s", error, kept)
        self._last_kind = type(error)
        self._reason = str(error) or repr(error)
        self._online.clear()
        self.wake()

    def wake(self) -> None:
        """There is something in the spool, or Kafka is away."""
        self._work.set()

    async def run(self) -> None:
        """Work until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._step()
                pause_s = FIRST_PAUSE_S
                continue
            except SpoolError as error:
                log.error("spooled events can't be sent: %s", error)
                self._came_back()
            except ProducerError as error:
                self.went_away(error)
            except Exception as error:
                log.exception("an unexpected fault on the way to Kafka")
                self.went_away(error)
            self.wake()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _step(self) -> None:
        """Reach Kafka and send the oldest spooled events.

        Raises BrokerUnreachable or TopicMissing while Kafka does not take them, SpoolError when
        Kafka answers, but the spool does not.
        """
        await self._link.connect(CONNECT_TIMEOUT_S)
        if self._spool is not None and (rows := await self._spool.peek(REPLAY_ROWS)):
            deliveries = await deliver(self._link, self._topic, [row.message for row in rows])
            by_id = {row.id: found for row, found in zip(rows, deliveries, strict=True)}
            sent = [i for i, found in by_id.items() if isinstance(found, Position)]
            await self._spool.remove(sent)
            self.replayed += len(sent)
            await self._set_aside({i: f for i, f in by_id.items() if isinstance(f, EventRefused)})
            for found in deliveries:
                if isinstance(found, BrokerUnreachable):
                    raise found
            self.wake()  # there may be more
        self._came_back()

    async def _set_aside(self, refused: dict[int, EventRefused]) -> None:
        assert self._spool is not None
        for row_id, error in refused.items():
            log.error("spooled event %d is kept aside: %s", row_id, error)
            await self._spool.set_aside([row_id], str(error))
        self.refused += len(refused)

    def _came_back(self) -> None:
        if not self.online:
            log.info("Kafka takes events again")
        self._online.set()
