/** A real service on a tiny model, for the tests: started in a process of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const python = process.env.CORLL_PYTHON ?? path.join(root, ".venv/bin/python");

/** Start it; `stop` ends it. */
export async function startService() {
  const folders = ["tests", "src", "clients/python/src"].map((name) => path.join(root, name));
  const child = spawn(python, ["-m", "tiny_service"], {
    env: { ...process.env, HF_HUB_OFFLINE: "1", PYTHONPATH: folders.join(path.delimiter) },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const first = once(createInterface({ input: child.stdout }), "line");
  const left = once(child, "exit").then(([code]) => {
    throw new Error(`the service ended with ${code}`);
  });
  const [line] = await Promise.race([first, left]);
  left.catch(() => {});
  return {
    ...JSON.parse(line),
    async stop() {
      const gone = once(child, "exit");
      child.stdin.end();
      await gone;
    },
  };
}
