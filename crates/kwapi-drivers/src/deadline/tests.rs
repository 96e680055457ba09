use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A device that needs `pause` for each of `answers`: what it ends with under a deadline of ten seconds, and after how
/// many seconds.
async fn run(answers: u32, pause: Duration) -> (Result<u32, Silent>, u64) {
    let begin = Instant::now();
    let task = async move {
        for _ in 0..answers {
            tokio::time::sleep(pause).await;
            answered();
        }
        answers
    };
    let result = since_last_answer(10 * SECOND, task).await;
    (result, begin.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_for_an_answer_and_not_for_all_of_them() {
    assert_eq!(run(1, 9 * SECOND).await, (Ok(1), 9));
    assert_eq!(run(8, 9 * SECOND).await, (Ok(8), 72));
    assert_eq!(run(1, 11 * SECOND).await, (Err(Silent), 10));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_falls_silent_later_is_given_the_deadline_from_its_last_answer() {
    let begin = Instant::now();
    let task = async {
        tokio::time::sleep(7 * SECOND).await;
        answered();
        std::future::pending::<()>().await;
    };
    assert_eq!(since_last_answer(10 * SECOND, task).await, Err(Silent));
    assert_eq!(begin.elapsed().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_trickles_for_ever_is_given_up() {
    assert_eq!(run(u32::MAX, 9 * SECOND).await, (Err(Silent), 80));
}

#[tokio::test(start_paused = true)]
async fn two_meters_have_a_deadline_each() {
    let slow = tokio::spawn(run(3, 8 * SECOND));
    let dead = tokio::spawn(run(1, 30 * SECOND));
    assert_eq!(slow.await.unwrap(), (Ok(3), 24));
    assert_eq!(dead.await.unwrap(), (Err(Silent), 10));
    // Whoever answers where no deadline is kept, as in a recording, disturbs nothing.
    answered();
}
