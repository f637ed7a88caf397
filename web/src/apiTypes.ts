/** What the API takes and answers: the types of the JavaScript client. */

export type * from "../../clients/js/src/apiTypes";
