/** `npm run build`: declarations by TypeScript, modules by esbuild, the studio by Vite, into a `dist` that is empty. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./build/bundle.ts";
import { buildStudio } from "./build/studio.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const compiler = join(root, "node_modules/typescript/bin/tsc");
const { status } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], {
  stdio: "inherit",
});
if (status === 0) {
  await bundle(root, join(root, "dist"));
  await buildStudio(root, join(root, "dist/studio"));
} else process.exitCode = 1;
