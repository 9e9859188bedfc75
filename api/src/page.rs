//! Lists in pages, as OpenAI's are: after an id, so many at once, newest first or last.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The id after which the page begins.
    after: Option<String>,
    /// Most entries of the page.
    limit: Option<String>,
    /// "desc": newest first, or "asc".
    order: Option<String>,
    /// Only files of this purpose.
    pub(crate) purpose: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    object: &'static str,
    data: Vec<T>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl<T> Page<T> {
    /// The page of `entries`, which are in the order of their making.
    pub(crate) fn of(
        query: &PageQuery,
        mut entries: Vec<T>,
        (default_limit, max_limit): (usize, usize),
        id_of: impl Fn(&T) -> &str,
    ) -> Result<Self, ApiError> {
        match query.order.as_deref() {
            None | Some("desc") => entries.reverse(),
            Some("asc") => {}
            Some(_) => return Err(ApiError::invalid("order", "order must be asc or desc")),
        }
        let limit = match &query.limit {
            None => default_limit,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=max_limit).contains(limit))
                .ok_or_else(|| ApiError::invalid("limit", format!("limit must be 1 to {max_limit}")))?,
        };
        let begin = match &query.after {
            None => 0,
            Some(after) => {
                let at = entries.iter().position(|entry| id_of(entry) == after);
                at.ok_or_else(|| ApiError::invalid("after", "after names nothing in this list"))? + 1
            }
        };
        let has_more = entries.len() - begin > limit;
        let data: Vec<T> = entries.into_iter().skip(begin).take(limit).collect();
        let id = |entry: Option<&T>| entry.map(|entry| id_of(entry).to_owned());
        Ok(Self { object: "list", first_id: id(data.first()), last_id: id(data.last()), has_more, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(after: Option<&str>, limit: Option<&str>, order: Option<&str>, expected: Result<&str, &str>) {
        let query = PageQuery {
            after: after.map(str::to_owned),
            limit: limit.map(str::to_owned),
            order: order.map(str::to_owned),
            purpose: None,
        };
        let page = Page::of(&query, vec!["a", "b", "c", "d"], (3, 4), |entry| entry);
        let found = page
            .map(|page| page.data.concat() + if page.has_more { "+" } else { "" })
            .map_err(|error| error.body().error.param.unwrap_or_default());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        check(None, None, None, Ok("dcb+"));
        check(Some("b"), None, None, Ok("a"));
        check(Some("a"), None, None, Ok(""));
        check(None, Some("2"), Some("asc"), Ok("ab+"));
        check(Some("b"), Some("2"), Some("asc"), Ok("cd"));
        check(None, Some("4"), Some("desc"), Ok("dcba"));
        check(Some("x"), None, None, Err("after"));
        for limit in ["0", "5", "-1", "x", ""] {
            check(None, Some(limit), None, Err("limit"));
        }
        check(None, None, Some("up"), Err("order"));
    }
}
