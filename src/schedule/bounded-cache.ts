/**
 * A memo that cannot grow without end: at most `2 × capacity` values. When the young generation is full it becomes the
 * old one and the previous old one is forgotten, so that a hit costs one lookup and no bookkeeping, unlike a strict LRU.
 */
export class BoundedCache<Key, Value> {
  readonly #capacity: number;
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The remembered value of `key`, or what `make` returns, remembered from now on. A `make` that throws leaves no trace. */
  get(key: Key, make: () => Value): Value {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const value = this.#old.get(key) ?? make();
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
    return value;
  }
}
