/** Passes that offer moves to a search. The command line lists them without loading the passes. */
export const searchedTechniques: readonly string[] = ["prune", "quantize", "factorize", "distill", "recover"];
