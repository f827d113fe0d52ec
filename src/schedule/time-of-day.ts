/** The times of day at which something happens, in seconds since local midnight; never empty. */
export interface TimesOfDay {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** The first time at or after `second`, or -1. */
  atOrAfter(second: number): number;
  /** The last time at or before `second`, or -1. */
  atOrBefore(second: number): number;
  /** How many times lie before `second` (0 to 86,400). */
  countBefore(second: number): number;
}

/** A set of small integers, tabulated: one array read instead of a search. Index `size` is one past the end. */
export class FieldSet {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** `next[v]`: the smallest member that is at least `v`, or -1. */
  readonly next: Int8Array;
  /** `previous[v]`: the largest member that is at most `v`, or -1. */
  readonly previous: Int8Array;
  /** `rank[v]`: how many members are less than `v`. */
  readonly rank: Int8Array;

  /** `values`: at least one, each from 0 to `size - 1`, in any order. */
  constructor(values: readonly number[], size: number) {
    const members = new Set(values);
    this.next = new Int8Array(size + 1).fill(-1);
    this.previous = new Int8Array(size + 1).fill(-1);
    this.rank = new Int8Array(size + 1);
    for (let v = 0; v <= size; v++) {
      if (v > 0) this.rank[v] = (this.rank[v - 1] as number) + (members.has(v - 1) ? 1 : 0);
      this.previous[v] = members.has(v) ? v : v > 0 ? (this.previous[v - 1] as number) : -1;
    }
    for (let v = size - 1; v >= 0; v--) this.next[v] = members.has(v) ? v : (this.next[v + 1] as number);
    this.first = this.next[0] as number;
    this.last = this.previous[size] as number;
    this.count = members.size;
  }
}

/** Every combination of the hours, minutes and seconds of a cron expression. */
export class CronTimes implements TimesOfDay {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly #hours: FieldSet;
  readonly #minutes: FieldSet;
  readonly #seconds: FieldSet;

  constructor(hours: FieldSet, minutes: FieldSet, seconds: FieldSet) {
    this.#hours = hours;
    this.#minutes = minutes;
    this.#seconds = seconds;
    this.first = hours.first * 3600 + minutes.first * 60 + seconds.first;
    this.last = hours.last * 3600 + minutes.last * 60 + seconds.last;
    this.count = hours.count * minutes.count * seconds.count;
  }

  atOrAfter(second: number): number {
    const h = (second / 3600) | 0;
    const m = ((second / 60) | 0) % 60;
    const s = second % 60;
    let hour = this.#hours.next[h] as number;
    if (hour < 0) return -1;
    if (hour === h) {
      let minute = this.#minutes.next[m] as number;
      if (minute === m) {
        const found = this.#seconds.next[s] as number;
        if (found >= 0) return h * 3600 + m * 60 + found;
        minute = this.#minutes.next[m + 1] as number;
      }
      if (minute >= 0) return h * 3600 + minute * 60 + this.#seconds.first;
      hour = this.#hours.next[h + 1] as number;
      if (hour < 0) return -1;
    }
    return hour * 3600 + this.#minutes.first * 60 + this.#seconds.first;
  }

  atOrBefore(second: number): number {
    const h = (second / 3600) | 0;
    const m = ((second / 60) | 0) % 60;
    const s = second % 60;
    let hour = this.#hours.previous[h] as number;
    if (hour < 0) return -1;
    if (hour === h) {
      let minute = this.#minutes.previous[m] as number;
      if (minute === m) {
        const found = this.#seconds.previous[s] as number;
        if (found >= 0) return h * 3600 + m * 60 + found;
        minute = m > 0 ? (this.#minutes.previous[m - 1] as number) : -1;
      }
      if (minute >= 0) return h * 3600 + minute * 60 + this.#seconds.last;
      hour = h > 0 ? (this.#hours.previous[h - 1] as number) : -1;
      if (hour < 0) return -1;
    }
    return hour * 3600 + this.#minutes.last * 60 + this.#seconds.last;
  }

  countBefore(second: number): number {
    const h = (second / 3600) | 0;
    const m = ((second / 60) | 0) % 60;
    const per_minute = this.#seconds.count;
    const per_hour = per_minute * this.#minutes.count;
    let count = (this.#hours.rank[h] as number) * per_hour;
    if (this.#hours.next[h] !== h) return count;
    count += (this.#minutes.rank[m] as number) * per_minute;
    if (this.#minutes.next[m] !== m) return count;
    return count + (this.#seconds.rank[second % 60] as number);
  }
}

/** A plain list of times, as a calendar has them. */
export class ListedTimes implements TimesOfDay {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly #seconds: readonly number[];

  /** `seconds`: at least one, in any order; repetitions count once. */
  constructor(seconds: readonly number[]) {
    this.#seconds = [...new Set(seconds)].sort((a, b) => a - b);
    this.first = this.#seconds[0] as number;
    this.last = this.#seconds.at(-1) as number;
    this.count = this.#seconds.length;
  }

  atOrAfter(second: number): number {
    return this.#seconds[this.countBefore(second)] ?? -1;
  }

  atOrBefore(second: number): number {
    return this.#seconds[this.countBefore(second + 1) - 1] ?? -1;
  }

  countBefore(second: number): number {
    let low = 0;
    let high = this.#seconds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#seconds[middle] as number) < second) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
