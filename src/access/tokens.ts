import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** What a token may do, each including those before it. */
export const SCOPES = ["read", "trigger", "admin"] as const;
export type TokenScope = (typeof SCOPES)[number];

/** A token as the service knows it: by its hash, so that who reads the configuration cannot ask in its name. */
export interface Token {
  readonly name: string;
  readonly scope: TokenScope;
  /** SHA-256. Nothing slower is needed: the secret is 256 random bits, which nobody guesses. */
  readonly hash: Buffer;
}

/** The message says which entry is at fault, and nothing of what it holds: it may be the secret itself. */
export class InvalidTokens extends Error {}

export const NAME = /^[A-Za-z0-9_.-]{1,80}$/;
const ENTRY = new RegExp(`^(${NAME.source.slice(1, -1)}):(${SCOPES.join("|")}):([0-9a-fA-F]{64})$`);

/**
 * Tokens as they stand in API_TOKENS: `name:scope:hash`, separated by commas or white space; `#` makes the rest of a line
 * a comment. A name may stand twice, so that an old token and its successor hold at the same time.
 * @throws InvalidTokens
 */
export function parseTokens(text: string): Token[] {
  const entries = text
    .replace(/#.*$/gm, "")
    .split(/[\s,]+/)
    .filter((entry) => entry !== "");
  if (entries.length === 0) throw new InvalidTokens("holds no token");
  return entries.map((entry, index) => {
    const [, name, scope, hash] = ENTRY.exec(entry) ?? [];
    if (hash === undefined) {
      throw new InvalidTokens(`entry ${index + 1} is not name:scope:hash, as \`pocketwatch tokens create\` prints it`);
    }
    return { name: name!, scope: scope as TokenScope, hash: Buffer.from(hash, "hex") };
  });
}

/** A new secret. The prefix is for people and for scanners that look for leaked secrets. */
export function newSecret(): string {
  return `pwt_${randomBytes(32).toString("base64url")}`;
}

/** The entry by which the service recognises a secret. */
export function tokenEntry(name: string, scope: TokenScope, secret: string): string {
  return `${name}:${scope}:${digest(secret).toString("hex")}`;
}

/** Whose secret this is. Takes equally long whoever it is, and whether it is anybody's. */
export function findToken(tokens: readonly Token[], secret: string): Token | null {
  const hash = digest(secret);
  let found: Token | null = null;
  for (const token of tokens) if (timingSafeEqual(token.hash, hash)) found = token;
  return found;
}

/** The secret in an `Authorization: Bearer …` header. */
export function bearerSecret(authorization: string | undefined): string | null {
  return /^Bearer +([^\s,]+) *$/i.exec(authorization ?? "")?.[1] ?? null;
}

function digest(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
