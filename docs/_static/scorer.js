/* Search ranks what has a name of its own first: operations and error codes (priority 0), then titles, then text. */
var Scorer = {
  score: ([, title, , , score, , kind]) => score + (kind === "object" && !title.startsWith("/") ? 10 : 0),
  objNameMatch: 40,
  objPartialMatch: 12,
  objPrio: { 0: 20, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 25,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
