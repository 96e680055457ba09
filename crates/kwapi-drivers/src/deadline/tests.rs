use tokio::time::sleep;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// So many answers, each after `pause`.
async fn answers(count: u32, pause: Duration) -> u32 {
    for _ in 0..count {
        sleep(pause).await;
        answered();
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_that_answers_is_waited_for() {
    assert_eq!(since_last_answer(DEADLINE, answers(8, Duration::from_secs(9))).await, Ok(8));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_stops_answering_is_given_up_one_deadline_later() {
    let began = Instant::now();
    let silent = since_last_answer(DEADLINE, async {
        answers(3, Duration::from_secs(4)).await;
        std::future::pending::<()>().await;
    })
    .await
    .expect_err("nothing comes any more");
    assert_eq!(silent, Silent { deadline: DEADLINE, answers: 3 });
    assert_eq!(began.elapsed(), Duration::from_secs(22));
    assert_eq!(
        silent.to_string(),
        "timed out after 10s (3 responses before); if the device is only slow, raise deadline_seconds"
    );
    let silent = since_last_answer(DEADLINE, std::future::pending::<()>()).await.expect_err("nothing comes");
    assert_eq!(silent.to_string(), "timed out after 10s");
}

#[tokio::test(start_paused = true)]
async fn answers_without_end_do_not_put_the_deadline_off_for_ever() {
    let began = Instant::now();
    let endless = answers(u32::MAX, Duration::from_secs(1));
    let silent = since_last_answer(DEADLINE, endless).await.expect_err("no end");
    assert_eq!(silent.answers, ANSWERS_MAX);
    assert_eq!(began.elapsed(), Duration::from_secs(1) * ANSWERS_MAX + DEADLINE);
}
