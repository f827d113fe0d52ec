import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { Say } from "./service.ts";

/** Installs packages on Debian or Ubuntu, as root or through a sudo that asks nothing; false where that cannot be done. */
export async function aptInstall(packages: readonly string[], say: Say): Promise<boolean> {
  const sudo = await debianRoot();
  if (sudo === null) return false;
  say(`Installing ${packages.join(" ")} with apt (its services are kept from starting) …`);
  const install = `apt-get install -y -qq -o DPkg::Lock::Timeout=60 --no-install-recommends ${packages.join(" ")}`;
  // policy-rc.d is how Debian is told not to start a service it has just installed. Whatever was there is put back.
  const script = `
    policy=/usr/sbin/policy-rc.d
    put_back() { rm -f $policy; [ ! -e $policy.pocketwatch ] || mv $policy.pocketwatch $policy; }
    [ ! -e $policy ] || mv $policy $policy.pocketwatch
    trap put_back EXIT; trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod 755 $policy
    export DEBIAN_FRONTEND=noninteractive
    ${install} || { apt-get update -qq && ${install}; }`;
  const failure = await run([...sudo, "/bin/sh", "-c", script]);
  if (failure !== null) say(`apt could not install it:\n${failure}`);
  return failure === null;
}

/** How to become root on a Debian: not at all (`[]`), with sudo, or null if this is no Debian or there is no way. */
async function debianRoot(): Promise<string[] | null> {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID(_LIKE)?=.*(debian|ubuntu)/m.test(release) || !existsSync("/usr/bin/apt-get")) return null;
  if (process.getuid?.() === 0) return [];
  return (await run(["sudo", "-n", "true"])) === null ? ["sudo", "-n"] : null;
}

/** Null if it went well, else the end of what it said. A session of its own keeps a Ctrl-C from cutting dpkg short. */
async function run([command, ...args]: string[]): Promise<string | null> {
  if (command === undefined) return null;
  const child = spawn(command, args, { cwd: "/", detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => resolve(code === 0 ? null : output.trim().split("\n").slice(-10).join("\n")));
  });
}
