/** The backend of this build of the page. Vite's mode selects it: the package contains the build with `--mode served`. */
import type { BackendKind } from "./backend.ts";

export const backendKind: BackendKind = import.meta.env.MODE === "served" ? "local" : "tab";
