/** The engine of a session, which remembers the outputs of the original. */
import { createEngine } from "pith/engine";

export const engine = createEngine();
