//! Which inputs the next batch computes.

use std::collections::VecDeque;

use super::encoder::EncoderInput;

/// Requests that wait, oldest first. Pure: it decides and counts, and computes nothing.
///
/// A batch takes one input of each request in turn, oldest request first, until its budget of tokens is used up: a request for
/// one vector is not held up by one for thousands, and the oldest request always moves on.
#[derive(Debug)]
pub(super) struct FairQueue<R> {
    requests: VecDeque<Waiting<R>>,
    budget_tokens: usize,
}

/// A request whose inputs are not all computed.
#[derive(Debug)]
struct Waiting<R> {
    inputs: Vec<EncoderInput>,
    num_planned: usize,
    results: Vec<Vec<f32>>,
    reply: R,
}

/// An input of the next batch: its request's place in the queue, and its place in the request.
pub(super) type Place = (usize, usize);

impl<R> FairQueue<R> {
    /// An empty queue; an input beyond the budget gets a batch of its own.
    pub(super) fn new(budget_tokens: usize) -> Self {
        Self { requests: VecDeque::new(), budget_tokens }
    }

    pub(super) fn push(&mut self, inputs: Vec<EncoderInput>, reply: R) {
        self.requests.push_back(Waiting { inputs, num_planned: 0, results: Vec::new(), reply });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Inputs without a result.
    pub(super) fn num_waiting_inputs(&self) -> usize {
        self.requests.iter().map(|request| request.inputs.len() - request.results.len()).sum()
    }

    /// Forgets the requests that nobody waits for any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&R) -> bool) {
        self.requests.retain(|request| is_wanted(&request.reply));
    }

    /// The inputs of the next batch, at least one unless the queue is empty.
    pub(super) fn plan(&mut self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut num_left = self.budget_tokens;
        loop {
            let num_before = places.len();
            for (index, request) in self.requests.iter_mut().enumerate() {
                let Some(input) = request.inputs.get(request.num_planned) else { continue };
                let num_tokens = input.token_ids.len();
                if num_tokens <= num_left || places.is_empty() {
                    places.push((index, request.num_planned));
                    request.num_planned += 1;
                    num_left = num_left.saturating_sub(num_tokens);
                }
            }
            if places.len() == num_before {
                return places;
            }
        }
    }

    pub(super) fn inputs(&self, places: &[Place]) -> Vec<&EncoderInput> {
        places.iter().map(|(request, input)| &self.requests[*request].inputs[*input]).collect()
    }

    /// Takes in the results of a planned batch; returns the requests that are complete.
    pub(super) fn complete(&mut self, places: &[Place], results: Vec<Vec<f32>>) -> Vec<(R, Vec<Vec<f32>>)> {
        // Inputs of a request are planned in order, so results come in order.
        for ((request, _), result) in places.iter().zip(results) {
            self.requests[*request].results.push(result);
        }
        self.take(|request| request.results.len() == request.inputs.len())
            .into_iter()
            .map(|request| (request.reply, request.results))
            .collect()
    }

    /// Gives up the requests of a planned batch that failed; returns whom to tell.
    pub(super) fn fail(&mut self, places: &[Place]) -> Vec<R> {
        let mut index = 0;
        let failed = self.take(|_| {
            index += 1;
            places.iter().any(|(request, _)| *request == index - 1)
        });
        failed.into_iter().map(|request| request.reply).collect()
    }

    fn take(&mut self, mut is_taken: impl FnMut(&Waiting<R>) -> bool) -> Vec<Waiting<R>> {
        let mut taken = Vec::new();
        for request in std::mem::take(&mut self.requests) {
            if is_taken(&request) {
                taken.push(request);
            } else {
                self.requests.push_back(request);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(num_tokens: usize) -> EncoderInput {
        EncoderInput { token_ids: vec![0; num_tokens], second_start: num_tokens }
    }

    fn queue(requests: &[&[usize]]) -> FairQueue<usize> {
        let mut queue = FairQueue::new(100);
        for (name, inputs) in requests.iter().enumerate() {
            queue.push(inputs.iter().map(|len| input(*len)).collect(), name);
        }
        queue
    }

    fn check(requests: &[&[usize]], expected: &[Place]) {
        assert_eq!(queue(requests).plan(), expected);
    }

    #[test]
    fn requests_take_turns_within_the_budget() {
        check(&[], &[]);
        check(&[&[40, 40, 40], &[10]], &[(0, 0), (1, 0), (0, 1)]);
        check(&[&[500, 1], &[10]], &[(0, 0)]);
        check(&[&[60, 60], &[60, 1], &[40]], &[(0, 0), (2, 0)]);
    }

    #[test]
    fn a_failed_batch_fails_its_requests_only() {
        let mut queue = queue(&[&[90, 90], &[50], &[10]]);
        let places = queue.plan();
        assert_eq!(places, [(0, 0), (2, 0)]);
        assert_eq!(queue.fail(&places), [0, 2]);
        assert_eq!(queue.num_waiting_inputs(), 1);
        queue.retain(|name| *name != 1);
        assert!(queue.is_empty());
    }

    proptest! {
        #[test]
        fn every_request_gets_its_results_in_the_order_of_its_inputs(
            lens in prop::collection::vec(prop::collection::vec(1usize..150, 1..9), 1..9),
        ) {
            let mut queue = FairQueue::new(100);
            for (name, lens) in lens.iter().enumerate() {
                queue.push(lens.iter().map(|len| input(*len)).collect(), name);
            }
            let mut answered = Vec::new();
            while !queue.is_empty() {
                let places = queue.plan();
                let inputs = queue.inputs(&places);
                let num_tokens: usize = inputs.iter().map(|input| input.token_ids.len()).sum();
                prop_assert!(!places.is_empty() && (num_tokens <= 100 || places.len() == 1));
                prop_assert_eq!(places[0].0, 0, "the oldest moves on");
                let results = inputs.iter().map(|input| vec![input.token_ids.len() as f32]).collect();
                answered.extend(queue.complete(&places, results));
            }
            answered.sort_by_key(|(name, _)| *name);
            let expected: Vec<_> = lens
                .iter()
                .enumerate()
                .map(|(name, lens)| (name, lens.iter().map(|len| vec![*len as f32]).collect::<Vec<_>>()))
                .collect();
            prop_assert_eq!(answered, expected);
        }
    }
}
