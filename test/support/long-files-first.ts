import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Those that take half a minute; most of it is waiting, but for the last, which computes meanwhile. */
const LONG = [
  "test/integration/messaging-real-faults.test.ts",
  "test/faults/selection.test.ts",
  "test/unit/schedule/wall-clock-reference.test.ts",
];

/** In a fresh clone Vitest does not know yet what takes long, and would start these when nothing else is left to do. */
export default class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => LONG.findIndex((file) => moduleId.endsWith(file));
    const others = files.filter((file) => place(file) < 0);
    const long = files.filter((file) => place(file) >= 0).sort((a, b) => place(a) - place(b));
    return [...long, ...(await super.sort(others))];
  }
}
