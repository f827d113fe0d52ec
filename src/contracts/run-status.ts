import { z } from "zod";
import { attempt, json, metrics, text, uuid } from "./fields.ts";

export const REPORTED_STATUSES = [
  "started",
  "progress",
  "heartbeat",
  "completed",
  "failed",
  "cancelled",
  "skipped",
] as const;

/**
 * `data` of `run.status.v1`. Unknown fields are ignored: a consumer may be newer than the service, and losing the
 * answer "completed" over an addition would fail a run that succeeded. Known fields are held to their contract.
 */
export const runStatus = z
  .object({
    run_id: uuid.describe("From the trigger event"),
    attempt: attempt.describe("From the trigger event"),
    sequence: z
      .int()
      .min(0)
      .describe("Grows with every update of an attempt; Unix milliseconds will do. Orders progress"),
    status: z.enum(REPORTED_STATUSES),
    progress: z.number().min(0).max(100).nullish().describe("Percent"),
    message: text(0, 10_000).nullish().describe("For people"),
    metrics: metrics.nullish().describe("Name → number; merged by name over the attempt"),
    result: json.optional().describe("What the run produced"),
    error: z
      .object({
        code: text(1, 255).nullish().describe("For programs"),
        message: text(0, 10_000).describe("For people"),
        retryable: z.boolean().nullish().describe("false: do not try again. Absent: try again while attempts are left"),
      })
      .nullish()
      .describe("Why it failed"),
  })
  .describe("Status update: what a consumer says about an attempt");
