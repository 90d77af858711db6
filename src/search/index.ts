/** The search for a smaller model over all techniques. */
export { type Finalists, movesFor, type SearchOptions, search } from "./search.ts";
