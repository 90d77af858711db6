/** The search for a smaller model over all techniques. */
export { candidatesFor } from "./offers.ts";
export { divided } from "./parts.ts";
export { type Finalists, type SearchOptions, search, tryIn } from "./search.ts";
