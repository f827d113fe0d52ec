import { generate } from "selfsigned";

/** A certificate and its key, PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

type Extensions = NonNullable<NonNullable<Parameters<typeof generate>[1]>["extensions"]>;

/** An authority that nobody knows but who is given its certificate. */
export async function createAuthority(name: string): Promise<Certificate> {
  return issue(name, null, [
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
  ]);
}

/** For a server at 127.0.0.1, and at no other name, or for a client. */
export async function createCertificate(name: string, authority: Certificate): Promise<Certificate> {
  return issue(name, authority, [
    { name: "basicConstraints", cA: false, critical: true },
    { name: "keyUsage", digitalSignature: true, keyEncipherment: true, critical: true },
    { name: "extKeyUsage", serverAuth: true, clientAuth: true },
    { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
  ]);
}

async function issue(name: string, ca: Certificate | null, extensions: Extensions): Promise<Certificate> {
  const subject = [{ name: "commonName", value: name }];
  const options = { algorithm: "sha256", keySize: 2048, extensions, ...(ca === null ? {} : { ca }) };
  const { cert, private: key } = await generate(subject, options);
  return { cert, key };
}
