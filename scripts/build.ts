/** `npm run build`: declarations by TypeScript, modules by Rolldown, the studio by Vite, into a `dist` that is empty. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./build/bundle.ts";
import { writeDeclarations } from "./build/declarations.ts";
import { buildStudio } from "./build/studio.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const dist = join(root, "dist");
if (await writeDeclarations(root, dist)) {
  await bundle(root, dist);
  await buildStudio(root, join(dist, "studio"));
} else process.exitCode = 1;
