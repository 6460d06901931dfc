// The waveforms of a call: the lowest and highest sample of each column, in tiles as fine as the view needs.

const TILE_COLUMNS = 1000;
const RATES = [0.5, 2, 8, 32, 128, 512]; // columns a second
const MOST_TILES = 200;

export class Waves extends EventTarget {
  #source;
  #duration;
  #tiles = new Map(); // "rate/number" → {caller, bot} or null while it is asked for
  #dense = null; // {rate, caller, bot}: everything in one piece, of a live or a saved call

  constructor(source, duration) {
    super();
    this.#source = source;
    this.#duration = duration;
    this.#dense = source.dense ?? null;
  }

  // More of a live call.
  append({ from_s: from, to_s: to, columns, caller, bot }) {
    const rate = columns / Math.max(to - from, 1e-9);
    const at = Math.round(from * rate) * 2;
    this.#dense ??= { rate, caller: [], bot: [] };
    for (const [track, more] of [
      [this.#dense.caller, caller],
      [this.#dense.bot, bot],
    ]) {
      while (track.length < at) track.push(0);
      track.length = at;
      for (const value of more) track.push(value);
    }
    this.#duration = Math.max(this.#duration, to);
    this.dispatchEvent(new Event("change"));
  }

  // The call is over: ask for it afresh.
  settle(duration) {
    this.#duration = duration;
    this.#dense = null;
    this.#tiles.clear();
    this.dispatchEvent(new Event("change"));
  }

  // Lowest and highest of `count` columns from `from` on, each `step` seconds: [low, high, …] of -127…127.
  read(channel, from, step, count) {
    const found = new Int8Array(count * 2);
    if (this.#dense) readTrack(this.#dense[channel], 0, this.#dense.rate, found, from, step);
    else
      for (const tile of this.#tilesFor(from, from + step * count, 1 / step))
        readTrack(tile[channel], tile.from, tile.rate, found, from, step);
    return found;
  }

  #tilesFor(from, to, wanted) {
    const best = RATES.findIndex((rate) => rate >= wanted);
    const level = best < 0 ? RATES.length - 1 : best;
    const rate = RATES[level];
    const seconds = TILE_COLUMNS / rate;
    const tiles = [];
    for (let n = Math.max(0, Math.floor(from / seconds)); n * seconds < Math.min(to, this.#duration); n++) {
      const tile = this.#tile(rate, n) ?? this.#coarser(level, n * seconds);
      if (tile && !tiles.includes(tile)) tiles.push(tile);
    }
    return tiles;
  }

  // While a tile is on its way, what is there of a coarser one.
  #coarser(level, at) {
    for (let each = level - 1; each >= 0; each--) {
      const number = Math.floor((at * RATES[each]) / TILE_COLUMNS);
      const tile = this.#tiles.get(`${RATES[each]}/${number}`);
      if (tile) return tile;
    }
    return null;
  }

  #tile(rate, number) {
    const key = `${rate}/${number}`;
    if (this.#tiles.has(key)) return this.#tiles.get(key);
    this.#tiles.set(key, null);
    this.#ask(key, rate, number);
    return null;
  }

  async #ask(key, rate, number) {
    const from = (number * TILE_COLUMNS) / rate;
    const to = Math.min(from + TILE_COLUMNS / rate, this.#duration);
    const width = Math.max(1, Math.round((to - from) * rate));
    try {
      const { caller, bot } = await this.#source.peaks(from, to, width);
      this.#tiles.set(key, {
        from,
        rate: width / (to - from),
        caller: Int8Array.from(caller),
        bot: Int8Array.from(bot),
      });
      if (this.#tiles.size > MOST_TILES) this.#tiles.delete(this.#tiles.keys().next().value);
      this.dispatchEvent(new Event("change"));
    } catch {
      // Without its waveform, the rest of the call is still there to be read.
    }
  }
}

function readTrack(track, trackFrom, rate, found, from, step) {
  const last = track.length / 2;
  const begin = Math.max(0, Math.floor((trackFrom - from) / step));
  const end = Math.min(found.length / 2, Math.ceil((trackFrom + last / rate - from) / step));
  for (let column = begin; column < end; column++) {
    const first = Math.max(0, Math.floor((from + column * step - trackFrom) * rate));
    const until = Math.min(last, Math.max(first + 1, Math.floor((from + (column + 1) * step - trackFrom) * rate)));
    let low = found[column * 2];
    let high = found[column * 2 + 1];
    for (let n = first; n < until; n++) {
      if (track[n * 2] < low) low = track[n * 2];
      if (track[n * 2 + 1] > high) high = track[n * 2 + 1];
    }
    found[column * 2] = low;
    found[column * 2 + 1] = high;
  }
}
