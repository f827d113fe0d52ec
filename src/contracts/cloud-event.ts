import { z } from "zod";
import { shortText, text } from "./fields.ts";

/**
 * The envelope of every message: CloudEvents 1.0 in structured JSON. Attributes that are null count as absent, as the
 * CloudEvents JSON format demands, and unknown ones are extensions, which are allowed. Attributes that nothing depends on
 * are only bounded: no answer of a consumer is lost over its `time`.
 */
export const cloudEvent = z
  .looseObject({
    specversion: z.literal("1.0"),
    id: shortText.describe("Unique per source; redelivered and repeated messages carry the same id"),
    source: shortText.describe("Who sent it, as a URI reference"),
    type: shortText.describe('What it says, with its version: "run.status.v1"'),
    subject: text(0, 1024).nullish().describe("What it is about"),
    time: text(0, 64).meta({ format: "date-time" }).nullish().describe("When it was made, in ISO 8601 with its offset"),
    datacontenttype: text(0, 255).nullish().describe("application/json"),
    dataschema: text(0, 1024).nullish().describe("The published schema of `data`"),
    traceparent: text(0, 255).nullish().describe("W3C trace context; one that is malformed is ignored"),
    data: z.unknown().describe("As the schema of the type says"),
  })
  .describe("CloudEvents 1.0 envelope, structured JSON");

export type CloudEvent = z.infer<typeof cloudEvent>;
