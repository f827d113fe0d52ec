import { isIP, isIPv4, isIPv6 } from "node:net";
import { fromIso } from "../schedule/instant.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const HOSTNAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;
const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i;

/** The values of `format` that payload schemas may use. Another one is a problem of the contract, said at loading. */
export const formats: Readonly<Record<string, (text: string) => boolean>> = {
  "date-time": (text) => fromIso(text) !== null,
  date: (text) => DATE.test(text) && fromIso(`${text}T00:00:00Z`) !== null,
  time: (text) => TIME.test(text),
  uuid: (text) => UUID.test(text),
  uri: (text) => URL.canParse(text),
  email: (text) => /^[^\s@]{1,64}@[^\s@]+$/.test(text) && HOSTNAME.test(text.slice(text.lastIndexOf("@") + 1)),
  hostname: (text) => HOSTNAME.test(text),
  ipv4: (text) => isIPv4(text),
  ipv6: (text) => isIPv6(text),
  ip: (text) => isIP(text) !== 0,
  regex: (text) => {
    try {
      new RegExp(text, "u");
      return true;
    } catch {
      return false;
    }
  },
};
