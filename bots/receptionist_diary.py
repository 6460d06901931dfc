"""The receptionist's diary: appointments and messages in a small SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

OPENS, CLOSES = time(9), time(17)
SLOT = timedelta(minutes=30)
LAST_WORKDAY = 4  # Friday

_TABLES = """
CREATE TABLE IF NOT EXISTS appointments (number INTEGER PRIMARY KEY, starts TEXT UNIQUE, name TEXT);
CREATE TABLE IF NOT EXISTS messages (taken TEXT, name TEXT, phone TEXT, message TEXT);
"""


class NotPossible(Exception):
    """Why an appointment cannot be had: one sentence."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """`number` names it for good."""

    number: int
    starts: datetime
    name: str


class Diary:
    """Appointments of half an hour, Monday to Friday. Each call opens the file: threads may share a diary."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            file.executescript(_TABLES)

    def free(self, day: date, now: datetime) -> list[time]:
        """The times that can still be booked on a day."""
        if day.weekday() > LAST_WORKDAY:
            return []
        with self._open() as file:
            rows = file.execute("SELECT starts FROM appointments WHERE starts LIKE ?", (f"{day}%",))
            taken = {datetime.fromisoformat(row[0]) for row in rows}
        return [start.time() for start in _slots(day) if start not in taken and start > now]

    def book(self, name: str, starts: datetime, now: datetime) -> Appointment:
        """Raises `NotPossible`."""
        _check(starts, now)
        with self._open() as file, _taken(starts):
            row = file.execute(
                "INSERT INTO appointments (starts, name) VALUES (?, ?)", (starts.isoformat(), name)
            )
            return Appointment(int(row.lastrowid or 0), starts, name)

    def move(self, number: int, starts: datetime, now: datetime) -> Appointment:
        """Raises `NotPossible`; the appointment then stays where it was."""
        _check(starts, now)
        name = self.get(number).name
        with self._open() as file, _taken(starts):
            file.execute("UPDATE appointments SET starts = ? WHERE number = ?", (starts.isoformat(), number))
        return Appointment(number, starts, name)

    def cancel(self, number: int) -> Appointment:
        """Raises `NotPossible` if there is none of this number."""
        appointment = self.get(number)
        with self._open() as file:
            file.execute("DELETE FROM appointments WHERE number = ?", (number,))
        return appointment

    def get(self, number: int) -> Appointment:
        """Raises `NotPossible` if there is none of this number."""
        with self._open() as file:
            query = "SELECT number, starts, name FROM appointments WHERE number = ?"
            row = file.execute(query, (number,)).fetchone()
        if row is None:
            raise NotPossible(f"there is no appointment number {number}")
        return _appointment(row)

    def of(self, name: str, now: datetime) -> list[Appointment]:
        """What is to come for somebody of this name, the next first."""
        with self._open() as file:
            query = (
                "SELECT number, starts, name FROM appointments WHERE lower(name) = lower(?) ORDER BY starts"
            )
            found = [_appointment(row) for row in file.execute(query, (name.strip(),))]
        return [appointment for appointment in found if appointment.starts > now]

    def take_message(self, name: str, phone: str, message: str, now: datetime) -> None:
        """Keep a message for the people of the practice."""
        with self._open() as file:
            values = (now.isoformat(timespec="seconds"), name, phone, message)
            file.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5)) as file, file:
            yield file


def _slots(day: date) -> Iterator[datetime]:
    start = datetime.combine(day, OPENS)
    while start < datetime.combine(day, CLOSES):
        yield start
        start += SLOT


def _check(starts: datetime, now: datetime) -> None:
    if starts.weekday() > LAST_WORKDAY:
        raise NotPossible(f"we are closed on {starts:%A}s")
    if starts <= now:
        raise NotPossible("that is over already")
    if starts not in list(_slots(starts.date())):
        raise NotPossible("appointments begin on the hour and the half hour, from 9:00 to 16:30")


@contextmanager
def _taken(starts: datetime) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise NotPossible(f"{starts:%H:%M} is taken") from None


def _appointment(row: tuple[int, str, str]) -> Appointment:
    return Appointment(row[0], datetime.fromisoformat(row[1]), row[2])
