import { encodable } from "./frames.ts";
import type { Outcome, Outgoing } from "./outgoing.ts";

/** Some messages of one `publish` call on their way: where they stand in it, and the call's outcomes to fill in. */
export interface Part {
  readonly exchange: string;
  readonly messages: readonly Outgoing[];
  /** Place of each message in the call. */
  readonly places: readonly number[];
  readonly outcomes: (Outcome | undefined)[];
}

/** Splits a call by exchange, in order; what AMQP cannot carry is rejected here. */
export function byExchange(
  messages: readonly Outgoing[],
  outcomes: (Outcome | undefined)[],
  frame_max: number,
): Part[] {
  const parts = new Map<string, { messages: Outgoing[]; places: number[] }>();
  for (const [place, message] of messages.entries()) {
    if (!encodable(message, frame_max)) {
      outcomes[place] = "rejected";
      continue;
    }
    let part = parts.get(message.exchange);
    if (!part) {
      part = { messages: [], places: [] };
      parts.set(message.exchange, part);
    }
    part.messages.push(message);
    part.places.push(place);
  }
  return [...parts].map(([exchange, part]) => ({ exchange, ...part, outcomes }));
}

/** Gives every message of the part the same outcome. */
export function fill(part: Part, outcome: Outcome): void {
  for (const place of part.places) part.outcomes[place] = outcome;
}

/** What stands at these positions of the part. */
export function pick(part: Part, positions: readonly number[]): Part {
  return {
    ...part,
    messages: positions.map((position) => part.messages[position] as Outgoing),
    places: positions.map((position) => part.places[position] as number),
  };
}

/** The two halves of the part. */
export function halves(part: Part): Part[] {
  const middle = part.messages.length >> 1;
  return [
    { ...part, messages: part.messages.slice(0, middle), places: part.places.slice(0, middle) },
    { ...part, messages: part.messages.slice(middle), places: part.places.slice(middle) },
  ];
}
