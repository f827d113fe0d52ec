import { fileURLToPath } from "node:url";

/** The published contracts of this checkout. */
export const CONTRACTS = fileURLToPath(new URL("../../contracts", import.meta.url));
