/** Why a run is where it is, in words for whoever asks what became of last night's. The service's vocabulary is fixed. */
const REASONS: Readonly<Record<string, string>> = {
  "skipped: overlap": "an earlier run of its schedule had not ended, and its overlap policy is to skip",
  "skipped: missed": "the service was away when it was due, and its catch-up policy leaves this one out",
  "skipped: requested": "somebody asked for it to be skipped",
  "skipped: dependency": "what it depends on did not complete",
  "skipped: consumer": "its consumer decided that there was nothing to do",
  "skipped: overload": "there was too much to do",
  "skipped: blackout": "it fell into a blackout window",
  "failed: error": "its consumer reported an error",
  "failed: timeout": "it did not end within its time limit",
  "failed: heartbeat_lost": "its consumer fell silent: no heartbeat in time",
  "failed: not_started": "no consumer started it before its start deadline: is one running?",
  "failed: rejected": "its message could not be handed over, or was dead-lettered",
  "failed: partial": "some of its targets failed",
  "cancelled: requested": "somebody asked for it to be cancelled",
  "cancelled: unanswered": "somebody asked for it to be cancelled, and its consumer did not answer",
  "cancelled: superseded": "a newer run took its place, as its overlap policy says",
  "cancelled: deleted": "its schedule was deleted before it started",
  "pending: unroutable": "no queue takes its message at the moment; it is tried again",
  "pending: retry": "an attempt failed; it waits for the next one",
  "pending: jitter": "its dispatch is spread over its jitter",
  "waiting: buffered": "an earlier run of its schedule has to end first",
  "waiting: blocked": "what it depends on has to complete first",
  "waiting: breaker_open": "the circuit breaker of what it works on is open",
};

const STATUSES: Readonly<Record<string, string>> = {
  pending: "it is about to be handed to the broker, or waits for room in its pool",
  dispatched: "it was handed to the broker; no consumer has said yet that it started",
};

export function explain(status: string, reason: string | null): string | null {
  return reason === null ? (STATUSES[status] ?? null) : (REASONS[`${status}: ${reason}`] ?? null);
}
