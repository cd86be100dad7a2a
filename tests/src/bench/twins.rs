//! Two servers of one app, of which the agent watches one, loaded in turn: the speed of a machine that others share drifts
//! within seconds. Each is watched in every other round, as no two processes of one app are equally fast.

use std::path::Path;

use anyhow::{Result, ensure};

use super::flow::{Flow, Full};
use super::medians::median;
use super::pause;
use super::stage::Served;
use super::usage::{self, Usage, peak_memory_mb};
use super::wrk::{Load, Wrk};
use crate::agent::{Agent, events};
use crate::places::Places;

/// What a request makes the app do beside answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Nothing,
    /// One SQL statement, over a pool of asyncpg.
    Query,
    /// One HTTP call, by httpx.
    Call,
}

/// The two, and what is asked of them.
pub(super) struct Twins<'a> {
    pub(super) places: &'a Places,
    pub(super) servers: &'a [Served; 2],
    /// `http` or `https`
    pub(super) scheme: &'a str,
    pub(super) path: &'a str,
    pub(super) does: Does,
}

/// The bare app and the watched one, measured one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<T> {
    pub(super) bare: T,
    pub(super) watched: T,
}

/// Latency of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    /// At [`super::PACE`] of what the bare server can carry.
    pub(super) paced: Load,
    /// Of one request after the other.
    pub(super) alone: Load,
}

/// One round: one agent, and what was measured while it ran.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) full: Vec<Pair<Full>>,
    pub(super) calm: Vec<Pair<Calm>>,
    pub(super) usage: Usage,
}

/// How much a round measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    /// Of half a second.
    pub(super) full: u32,
    /// Of four seconds.
    pub(super) calm: u32,
}

impl Pairs {
    /// So many at full load, and as much time for latency.
    pub(crate) fn of(full: u32) -> Self {
        Self { full, calm: full.div_ceil(10) }
    }
}

impl Twins<'_> {
    /// Loads both before anything is measured: what is made once, as prepared statements, is made without an agent.
    pub(super) fn warm_up(&self) -> Result<()> {
        for server in self.servers {
            self.wrk(server, 2).saturate()?;
        }
        Ok(())
    }

    /// Is each of the two watched as often as the other in so many rounds?
    pub(super) fn even(rounds: u32) -> Result<()> {
        ensure!(
            rounds > 0 && rounds.is_multiple_of(2),
            "{rounds} rounds: each of the two servers is watched in every other round, so their number is even"
        );
        Ok(())
    }

    /// The round `number`, by an agent with `options`.
    pub(super) fn round(&self, number: u32, pairs: Pairs, options: &[&str]) -> Result<Round> {
        let [one, other] = self.servers;
        let both = if number % 2 == 1 {
            Pair { bare: one, watched: other }
        } else {
            Pair { bare: other, watched: one }
        };
        let pid = both.watched.process.pid();
        let scratch = self.places.scratch()?;
        let answer = self.wrk(both.bare, 2).answer_bytes()?;
        let mut arguments = vec!["--pid".to_owned(), pid.to_string()];
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let mut agent = Agent::start(&self.places.agent, &arguments, scratch.path())?;
        agent.attached(pid)?;
        let before = usage::cpu(agent.process.pid())?;
        let (full, mut answered) =
            self.full(both, answer, pairs.full, agent.process.pid(), scratch.path())?;
        let calm = self.calm(both, pairs.calm, median(full.iter().map(|pair| pair.bare.rate)))?;
        let cpu = usage::cpu(agent.process.pid())? - before;
        let memory_mb = peak_memory_mb(agent.process.pid())?;
        let losses = agent.losses()?;
        let store = agent.store().join("apm.db");
        agent.stop()?;
        answered +=
            calm.iter().map(|pair| pair.watched.paced.requests + pair.watched.alone.requests).sum::<u64>();
        let recorded = events(&store)?.len() as u64;
        let made = match self.does {
            Does::Nothing => answered,
            Does::Query => usage::queries(&store)?,
            Does::Call => usage::calls(&store)?,
        };
        Ok(Round { full, calm, usage: Usage { cpu, memory_mb, answered, recorded, made, losses } })
    }

    /// Full load, and how many requests the watched server has answered in all.
    fn full(
        &self,
        both: Pair<&Served>,
        answer: f64,
        pairs: u32,
        agent: u32,
        scratch: &Path,
    ) -> Result<(Vec<Pair<Full>>, u64)> {
        let flow = |server: &Served, agent, name: &str| {
            Flow::start(&self.url(server), server.process.pid(), agent, answer, &scratch.join(name))
        };
        let mut flows = Pair {
            bare: flow(both.bare, None, "bare")?,
            watched: flow(both.watched, Some(agent), "watched")?,
        };
        let measured =
            (0..pairs).map(|pair| flows.by_turns(pair % 2 == 0, Flow::slice)).collect::<Result<Vec<_>>>()?;
        flows.bare.end()?;
        Ok((measured, flows.watched.end()?))
    }

    /// Latency, where `rate` requests a second are full load.
    fn calm(&self, mut both: Pair<&Served>, pairs: u32, rate: f64) -> Result<Vec<Pair<Calm>>> {
        let mut measured = Vec::new();
        for number in 0..pairs {
            let bare_first = number % 2 == 0;
            let paced = both.by_turns(bare_first, |server| self.wrk(server, 1).pace(pause(rate)))?;
            let alone = both.by_turns(bare_first, |server| self.wrk(server, 1).alone())?;
            measured.push(Pair {
                bare: Calm { paced: paced.bare, alone: alone.bare },
                watched: Calm { paced: paced.watched, alone: alone.watched },
            });
        }
        Ok(measured)
    }

    fn url(&self, server: &Served) -> String {
        format!("{}://127.0.0.1:{}{}", self.scheme, server.port, self.path)
    }

    fn wrk(&self, server: &Served, seconds: u32) -> Wrk {
        Wrk { url: self.url(server), seconds, scripts: self.places.apps().join("bench") }
    }
}

impl<T> Pair<T> {
    /// Measures one and then the other.
    fn by_turns<M>(
        &mut self,
        bare_first: bool,
        mut measure: impl FnMut(&mut T) -> Result<M>,
    ) -> Result<Pair<M>> {
        if bare_first {
            let bare = measure(&mut self.bare)?;
            Ok(Pair { bare, watched: measure(&mut self.watched)? })
        } else {
            let watched = measure(&mut self.watched)?;
            Ok(Pair { bare: measure(&mut self.bare)?, watched })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Twins;

    #[test]
    fn each_of_the_twins_is_watched_as_often_as_the_other() {
        assert!(Twins::even(4).is_ok());
        assert!([0, 1, 3].iter().all(|&rounds| Twins::even(rounds).is_err()));
    }
}
