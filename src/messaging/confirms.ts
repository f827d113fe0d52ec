import type { Outcome, Outgoing } from "./outgoing.ts";

/** Messages that are written together, and what the broker said about each. */
export interface Batch {
  readonly messages: readonly Outgoing[];
  /** Outcome by position; `undefined` while the broker has not answered. */
  readonly outcomes: (Outcome | undefined)[];
}

interface OpenBatch extends Batch {
  /** How many the broker has not answered. */
  open: number;
  /** Delivery tag of the first message; the others' follow without a gap. */
  readonly first: number;
  /** Positions before this one are all answered. */
  answered: number;
  /** Positions that came back and now only wait for their ack; made at the first return, which is rare. */
  positions: Map<string, number[]> | null;
  returned: Set<number> | null;
  readonly done: () => void;
}

/**
 * Accounts for the confirms of one channel: which tags stand for which messages, and what the broker said. Counts
 * instead of keeping a promise or callback for each message; a confirm of many costs one pass over them.
 */
export class Confirms {
  #next = 1;
  readonly #batches: OpenBatch[] = [];

  /** Takes the next tags for a batch, which must now be written in its order. `done` is called when all is answered. */
  add({ messages, outcomes }: Batch, done: () => void): void {
    if (messages.length === 0) {
      done();
      return;
    }
    this.#batches.push({
      messages,
      outcomes,
      open: messages.length,
      first: this.#next,
      answered: 0,
      positions: null,
      returned: null,
      done,
    });
    this.#next += messages.length;
  }

  /** basic.ack or basic.nack: this tag, or with `multiple` all up to it that are still open. */
  answer(tag: number, multiple: boolean, outcome: "confirmed" | "refused"): void {
    for (const batch of [...this.#batches]) {
      if (batch.first > tag) break;
      const last = Math.min(tag - batch.first, batch.messages.length - 1);
      if (multiple) {
        for (let position = batch.answered; position <= last; position++) settle(batch, position, outcome);
        batch.answered = Math.max(batch.answered, last + 1);
      } else if (tag - batch.first === last) {
        settle(batch, last, outcome);
      }
      if (batch.open === 0) this.#finish(batch);
    }
  }

  /** basic.return: no queue takes the message. Its ack follows and settles it. */
  returned(message_id: string): void {
    for (const batch of this.#batches) {
      batch.positions ??= positionsById(batch.messages);
      batch.returned ??= new Set();
      for (const position of batch.positions.get(message_id) ?? []) batch.returned.add(position);
    }
  }

  #finish(batch: OpenBatch): void {
    this.#batches.splice(this.#batches.indexOf(batch), 1);
    batch.done();
  }
}

function settle(batch: OpenBatch, position: number, outcome: Outcome): void {
  if (batch.outcomes[position] !== undefined) return;
  batch.outcomes[position] = batch.returned?.has(position) ? "unroutable" : outcome;
  batch.open--;
}

function positionsById(messages: readonly Outgoing[]): Map<string, number[]> {
  const positions = new Map<string, number[]>();
  for (const [position, { message_id }] of messages.entries()) {
    const same = positions.get(message_id);
    if (same) same.push(position);
    else positions.set(message_id, [position]);
  }
  return positions;
}
