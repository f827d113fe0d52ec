/** What a fresh `npm start` has to show: one schedule that fires before anybody gets impatient, and two ordinary ones. */
const scouting = {
  action: "scout.trigger",
  action_version: 1,
  payload: { source: "stratninja", max_strategies: 20 },
  heartbeat_seconds: 60,
  labels: { sample: "true" },
};

export const SAMPLE_SCHEDULES = [
  {
    ...scouting,
    name: "scout-every-30-seconds",
    description: "Looks through the sample strategies twice a minute",
    timing: { kind: "interval", every_seconds: 30 },
  },
  {
    ...scouting,
    name: "scout-nightly",
    description: "Every midnight, UTC",
    timing: { kind: "cron", expression: "0 0 * * *", timezone: "UTC" },
  },
  {
    ...scouting,
    name: "scout-weekdays",
    description: "Before work in Berlin, in summer time and in winter time",
    timing: { kind: "cron", expression: "30 8 * * MON-FRI", timezone: "Europe/Berlin" },
    priority: "high",
  },
] as const;

/** Triggered as soon as everything runs. */
export const FIRST_TO_RUN = SAMPLE_SCHEDULES[0].name;
